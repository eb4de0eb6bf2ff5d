"""The command line: what search.run takes and does, all commands in a table, completion."""
