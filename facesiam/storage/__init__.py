"""Where a run's weights and states lie: a folder, or a bucket behind a URL."""
