"""Start cvdemo: ``python app.py``. See ``python app.py --help`` for the flags."""

from cvdemo.commands.serve import main

if __name__ == "__main__":
    main()
