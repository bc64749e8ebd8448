"""An upload stays in memory from its first byte: nothing of it is written to a disk, not even for a moment.

Starlette (1.10) puts an upload of more than a megabyte into a temporary file while it arrives.
"""

from starlette.formparsers import MultiPartParser
from streamlit import config


def keep_in_memory(parser: type[MultiPartParser] = MultiPartParser) -> None:
    """Have uploads of every allowed size kept in memory while they arrive."""
    parser.spool_max_size = (config.get_option("server.maxUploadSize") + 1) * 2**20
