"""`python -m seq2attn` is the command `seq2attn`."""

from seq2attn.cli.app import main

if __name__ == "__main__":
    main()
