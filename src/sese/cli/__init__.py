"""Run sese from the command line: a file for each verb."""
