"""Other libraries' schedulers and pruners as policies of the simulator."""
