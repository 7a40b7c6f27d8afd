"""``python -m hangdog``: the command line."""

from stress.cli.main import main

if __name__ == "__main__":
    main()
