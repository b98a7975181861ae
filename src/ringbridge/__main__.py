"""`python -m ringbridge`: the same as the `ringbridge` program."""

from ringbridge.cli import main

if __name__ == "__main__":
    main()
