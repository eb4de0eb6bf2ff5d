"""Docstrings of the fields of a class, which say what each setting or key means."""

from __future__ import annotations

import ast
import inspect
from itertools import pairwise


def field_docs(part: type) -> dict[str, str]:
    """Return the docstrings of a class's fields, by field, each as one line."""
    (definition,) = ast.parse(inspect.getsource(part)).body
    assert isinstance(definition, ast.ClassDef)
    return {
        field.target.id: " ".join(str(text.value.value).split())
        for field, text in pairwise(definition.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
    }
