"""The report page of one or more runs."""
