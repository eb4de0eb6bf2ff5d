"""One running search: the driver on Ray Tune, the sampler, the recorder."""
