"""An upload is kept in memory while it arrives."""

import asyncio

from starlette.datastructures import Headers
from starlette.formparsers import MultiPartParser

from dashboard.uploads import keep_in_memory


def arrived(parser: type[MultiPartParser], content: bytes):
    """The file that a parser makes of an upload."""

    async def body():
        head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.dcm"\r\n\r\n'
        for part in (head, content, b"\r\n--x--\r\n"):
            yield part

    headers = Headers({"content-type": "multipart/form-data; boundary=x"})
    form = asyncio.run(parser(headers, body()).parse())
    return form["file"].file


def test_an_upload_is_not_written_to_a_disk_while_it_arrives():
    class Parser(MultiPartParser):
        """One of our own, as Starlette has it: the setting belongs to the whole process."""

        spool_max_size = 1024 * 1024

    content = bytes(5_000_000)
    assert arrived(Parser, content)._rolled  # what Starlette does by itself
    keep_in_memory(Parser)
    file = arrived(Parser, content)
    assert not file._rolled and file.read() == content
