"""`streamlit run` that closes the session of a visitor who left after seconds, not a minute."""

import sys

from streamlit.web.cli import main

from dashboard import departure

if __name__ == "__main__":
    departure.SECONDS = 4.0
    sys.argv = ["streamlit", *sys.argv[1:]]
    main()
