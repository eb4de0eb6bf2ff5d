"""The commands of the project, by the names that ``siamsearch`` has for them."""

from __future__ import annotations

COMMANDS = {
    "run": ("search.run", "run the search that a space file describes"),
    "results": ("search.results", "the ranked trials of a run"),
    "retrain": ("search.retrain", "train a trial again and test it"),
    "race": ("search.race", "train a run's best trials again until one is shown to win"),
    "compare": ("search.compare", "compare two tested nets on the same pairs"),
    "report": ("search.report", "write a run's report page"),
    "replay": ("search.replay", "try pruning rules on recorded runs"),
    "doctor": ("search.doctor", "examine this machine, or a cluster, before a search"),
    "cluster": ("search.cluster", "write the job file of a search for Slurm or Kubernetes"),
    "space": ("search.space", "check space files, print their schema"),
    "settings": ("search.settings", "what can be searched: meaning, bounds, choices, default"),
    "data": ("facesiam.data", "download or check the CFP dataset"),
    "demo": ("facesiam.demo", "a picture of pairs with what a net says of them"),
    "verify": ("facesiam.verify", "say whether images show the same person"),
    "export": ("facesiam.export", "write a net as ONNX and safetensors, with a model card"),
    "completion": ("search.cli.completion", "what completes these words in bash, zsh or fish"),
}
"""By name the module of a command, and what it does."""
