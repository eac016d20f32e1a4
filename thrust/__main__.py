"""`python -m thrust` does what the `thrust` console script does."""

from thrust.cli import main

if __name__ == "__main__":
    main()
