"""Run the command line: `python -m sese`."""

from sese.cli.main import main

if __name__ == "__main__":
    main()
