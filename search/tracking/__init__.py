"""What is told of a running search: callbacks, trackers such as MLflow, a study of Optuna's."""
