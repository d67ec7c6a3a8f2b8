"""The command line: a table from word to function (`main.py`) and one thin file per verb."""
