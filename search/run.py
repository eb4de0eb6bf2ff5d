"""What ``python -m search.run`` executes: the command of ``search.cli.run_command``.

Nothing imports this module. As a name of the package, ``run`` is a function: ``from search import
run``. An imported module of that name would take its place.
"""

from search.cli.run_command import leave, main

if __name__ == "__main__":
    leave(main())
elif __name__ == "search.run":
    raise ImportError("search.run is a command: `from search import run` is the function")
