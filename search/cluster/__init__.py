"""Job files of a search for clusters with a scheduler: a Slurm script, a RayJob of Kubernetes."""
