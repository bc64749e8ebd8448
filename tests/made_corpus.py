"""Files made to be read, and to be refused: the seeds of the fuzzers, and what the reader must say of each."""

import functools
import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image
from pydicom.encaps import encapsulate

from tests.made_images import dicom, encoded, nifti, png, stored_values, zipped

STORED = stored_values()
GREY = (STORED // 8).astype(np.uint8)
JPEG = "1.2.840.10008.1.2.4"
RLE = "1.2.840.10008.1.2.5"


@dataclass(frozen=True)
class Case:
    """A file as somebody might upload it: so many `slices` can be read, and each of `errors` is found, in order."""

    name: str
    make: Callable[[], bytes]
    slices: int = 0
    errors: tuple[str, ...] = ()


def valid() -> dict[str, bytes]:
    """One valid file of each format and each decoder."""
    import imagecodecs

    picture, volume = Image.fromarray(GREY), np.stack([STORED.astype(np.int16) - 1024] * 3, -1)
    made = {kind: encoded(picture.convert("RGB"), kind) for kind in ("PNG", "JPEG", "BMP", "WEBP")}
    made["TIFF"] = encoded(picture, "TIFF", save_all=True, append_images=[picture], compression="tiff_lzw")
    made["16"] = png(STORED)
    made["DICOM"] = dicom(np.stack([STORED, STORED]))
    made["deflated"] = dicom(STORED, "1.2.840.10008.1.2.1.99")
    made["lossless"] = dicom(
        STORED,
        f"{JPEG}.70",
        PixelData=encapsulate([imagecodecs.jpeg8_encode(STORED, bitspersample=16, lossless=True)]),
    )
    made["12-bit"] = dicom(
        STORED, f"{JPEG}.51", PixelData=encapsulate([imagecodecs.jpeg8_encode(STORED, bitspersample=12)])
    )
    made["JPEG-LS"] = dicom(STORED, f"{JPEG}.80", PixelData=encapsulate([imagecodecs.jpegls_encode(STORED)]))
    made["JPEG 2000"] = dicom(
        STORED,
        f"{JPEG}.90",
        PixelData=encapsulate([imagecodecs.jpeg2k_encode(STORED, level=0, codecformat="J2K")]),
    )
    made["NIfTI"], made["NIfTI.gz"] = nifti(volume, np.eye(4)), nifti(volume, np.eye(4), packed=True)
    made["ZIP"] = zipped({"a.png": made["PNG"], "b": made["DICOM"], "c.nii": made["NIfTI"]})
    return made


VALID = valid()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width: int, height: int, pixels: bytes = b"", *chunks: bytes) -> bytes:
    """A grey PNG that states a size, holds these deflated pixels, and chunks before them."""
    header = png_chunk(b"IHDR", struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0))
    data = png_chunk(b"IDAT", zlib.compress(pixels, 9))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + data + png_chunk(b"IEND", b"")


def small(kind: str, mode: str = "L", **options) -> bytes:
    return encoded(Image.fromarray(GREY).convert(mode), kind, **options)


def palette_with_alpha() -> bytes:
    image = Image.fromarray(GREY % 4, "P")
    image.putpalette([10, 10, 10, 90, 90, 90, 160, 160, 160, 250, 250, 250])
    return encoded(image, "PNG", transparency=bytes([0, 255, 128, 255]))


def rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return small("JPEG", exif=exif)


def animated(kind: str) -> bytes:
    pages = [Image.fromarray(GREY + step).convert("RGB") for step in range(4)]
    return encoded(pages[0], kind, save_all=True, append_images=pages[1:])


def tiff_in_a_circle() -> bytes:
    """A TIFF whose one page names itself as the page after it."""
    data = bytearray(small("TIFF"))
    (at,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, at)
    struct.pack_into("<I", data, at + 2 + 12 * entries, at)
    return bytes(data)


def dicom_and_tiff() -> bytes:
    """A DICOM file that begins as a TIFF does, as those for slide viewers may."""
    return b"II*\0" + dicom(STORED)[4:]


def private(size: int) -> bytes:
    """A DICOM file with a private element of so many bytes that name a person."""
    from tests.made_images import dicom_dataset, written

    dataset = dicom_dataset(STORED)
    dataset.add_new(0x00090010, "LO", "SECRET^MAKER")
    dataset.add_new(0x00091001, "OB", b"SECRET^PERSON  " * (size // 15))
    return written(dataset)


def nested_dicom(depth: int) -> bytes:
    """A DICOM file with sequences in sequences, none of stated length."""
    opening = b"\x00\x52\x29\x92SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    closing = b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0"
    data = dicom(STORED)
    at = data.index(b"\xe0\x7f\x10\x00OW")
    return data[:at] + opening * depth + closing * depth + data[at:]


def run_length(frame: bytes, **elements) -> bytes:
    """A DICOM file of 8 bits whose one run-length coded segment is `frame`."""
    header = struct.pack("<16I", 1, 64, *[0] * 14)
    return dicom(GREY, RLE, PixelData=encapsulate([header + frame]), **elements)


def fragments(count: int) -> bytes:
    """A DICOM file of compressed pixel data in so many empty fragments."""
    return dicom(GREY, RLE, PixelData=b"\xfe\xff\x00\xe0\0\0\0\0" * (count + 1))


def linked() -> bytes:
    """A ZIP with a symbolic link out of it."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        link = zipfile.ZipInfo("a.png")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    return stream.getvalue()


def twice() -> bytes:
    """A ZIP that holds one name twice."""
    data = zipped({"a.png": small("PNG"), "b.png": small("PNG")})
    return data.replace(b"b.png", b"a.png")


def volume(kind: type = np.int16, **header) -> bytes:
    """A small CT volume as NIfTI, fields of its header replaced."""
    import nibabel

    image = nibabel.Nifti1Image(np.stack([STORED.astype(kind) - 1024] * 2, -1), np.eye(4))
    data = bytearray(image.to_bytes())
    blank = nibabel.Nifti1Header(bytes(data[:348]), check=False)
    for name, value in header.items():
        blank[name] = value
    return blank.binaryblock + bytes(data[348:])


def holed(*values: float) -> bytes:
    """A NIfTI volume of three slices, one of these values in each."""
    planes = np.stack([STORED.astype(np.float32) - 1024] * len(values), -1)
    planes[3, 4] = values
    return nifti(planes, np.eye(4))


def narrowest() -> bytes:
    """A NIfTI volume whose values lie so close that a scale of grey divided by their distance is infinite."""
    return nifti(np.array([[[5e-324], [0.0]], [[0.0], [5e-324]]]), np.eye(4))


def widest() -> bytes:
    """A NIfTI volume whose values differ by more than a number can hold."""
    return nifti(np.array([[[1.7e308, -1.7e308], [0, 1]]]), np.eye(4))


def float_tiff(value: float) -> bytes:
    return encoded(Image.fromarray(np.array([[0, value]], np.float32)), "TIFF")


DAMAGED = ("damaged or truncated",)
CASES = (
    # Bombs
    Case("stated.png", lambda: png_of(60_000, 60_000), 0, ("far too many pixels",)),
    Case("flat.png", lambda: png_of(6000, 6000, bytes(6001 * 6000)), 0, ("a slice of 6000 x 6000 pixels",)),
    Case(
        "text.png",
        lambda: png_of(32, 24, bytes(33 * 24), png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**7)))),
        0,
        DAMAGED,
    ),
    Case("beyond.png", lambda: png_of(32, 24, bytes(50_000_000)), 1),
    Case(
        "stated.tif",
        lambda: small("TIFF").replace(struct.pack("<HHII", 256, 4, 1, 32), struct.pack("<HHII", 256, 4, 1, 9**8)),
        0,
        ("far too many pixels",),
    ),
    Case("circle.tif", tiff_in_a_circle, 1),
    Case(
        "zeros.zip",
        lambda: zipped({"a.png": bytes(210 * 2**20)}),
        0,
        ("more than 209,715,200 bytes when inflated",),
    ),
    Case(
        "nested.zip",
        lambda: zipped({"a.zip": zipped({"b.zip": zipped({"c.png": bytes(10**7)})})}),
        0,
        ("a ZIP archive within an archive",),
    ),
    Case("many.zip", lambda: zipped({f"{step}": b"" for step in range(2001)}), 0, ("more than 2,000 members",)),
    Case(
        "zeros.nii.gz",
        lambda: gzip.compress(volume() + bytes(210 * 2**20), 1),
        0,
        ("more than 209,715,200 bytes when inflated",),
    ),
    Case(
        "members.nii.gz",
        lambda: gzip.compress(volume()) + gzip.compress(b"") * 20_000,
        0,
        ("more than 10,000 gzip members",),
    ),
    Case("padded.nii.gz", lambda: gzip.compress(volume()) + bytes(200_000), 2),
    Case(
        "stated.nii.gz",
        lambda: gzip.compress(volume(dim=[3, 5000, 5000, 9, 1, 1, 1, 1])),
        0,
        ("a volume of 450,000,352 bytes",),
    ),
    Case("noops.dcm", lambda: run_length(b"\x80" * 10**7), 0, DAMAGED),
    Case("fragments.dcm", lambda: fragments(150_000), 0, ("more than 100,000 fragments",)),
    Case("nested.dcm", lambda: nested_dicom(100), 1),
    Case("abyss.dcm", lambda: nested_dicom(100_000), 0, DAMAGED),
    # Sizes
    Case("empty.png", lambda: b"", 0, ("an empty file",)),
    Case("one.png", lambda: png(GREY[:1, :1]), 1),
    Case("long.png", lambda: png(np.arange(10_000, dtype=np.uint16)[None] // 40), 1),
    Case("tall.dcm", lambda: dicom(np.arange(10_000, dtype=np.uint16)[:, None]), 1),
    Case("one.dcm", lambda: dicom(STORED[:1, :1]), 1),
    # Modes
    Case("deep.png", lambda: png(STORED), 1),
    Case("cmyk.jpg", lambda: small("JPEG", "CMYK"), 1),
    Case("cmyk.tif", lambda: small("TIFF", "CMYK"), 1),
    Case(
        "lab.tif",
        lambda: small("TIFF", "RGB", compression="tiff_lzw").replace(
            struct.pack("<HHIHH", 262, 3, 1, 2, 0), struct.pack("<HHIHH", 262, 3, 1, 8, 0)
        ),
        1,
    ),
    Case("palette.png", palette_with_alpha, 1),
    Case("alpha.webp", lambda: small("WEBP", "RGBA"), 1),
    Case("bits.tif", lambda: small("TIFF", "1", compression="group4"), 1),
    Case("moving.gif", lambda: animated("GIF"), 0, ("a GIF picture",)),
    Case("moving.png", lambda: animated("PNG"), 1),
    Case("moving.webp", lambda: animated("WEBP"), 1),
    Case("rotated.jpg", rotated, 1),
    Case("nan.tif", lambda: float_tiff(np.nan), 0, ("values that are not finite",)),
    Case("infinite.tif", lambda: float_tiff(np.inf), 0, ("values that are not finite",)),
    # Names that lie, and files of two kinds
    Case("picture.dcm", lambda: small("PNG"), 1),
    Case("slice.jpg", lambda: dicom(STORED), 1),
    Case("volume.zip", lambda: gzip.compress(volume()), 2),
    Case("archive.nii.gz", lambda: zipped({"a": small("BMP")}), 1),
    Case("web.png", lambda: b"<!DOCTYPE html><script>alert(1)</script>", 0, ("a web page",)),
    Case("drawing.png", lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", 0, ("an SVG drawing",)),
    Case("program.dcm", lambda: b"MZ" + bytes(200), 0, ("a program",)),
    Case("text.gz", lambda: gzip.compress(b"words"), 0, ("a gzip file without a NIfTI volume",)),
    Case("picture-and-archive.png", lambda: small("PNG") + zipped({"a.png": small("PNG")}), 1),
    Case("archive-behind-a-program.zip", lambda: b"MZ" + zipped({"a.png": small("PNG")}), 0, ("a program",)),
    Case("picture-and-page.jpg", lambda: small("JPEG") + b"<script>alert(1)</script>", 1),
    Case("slide.tif", dicom_and_tiff, 1),
    Case("document.png", lambda: b"%PDF-1.7\n" + small("PNG"), 0, ("a PDF document",)),
    # DICOM headers that lack something or lie
    *(
        Case(f"header-{number}.dcm", functools.partial(dicom, STORED, **elements), 0, (said,))
        for number, (elements, said) in enumerate(
            (
                ({"PixelData": None}, "without pixel data (CT Image Storage)"),
                ({"PixelData": None, "SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.11"}, "Basic Text SR"),
                (
                    {
                        "PixelData": None,
                        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.104.1",
                        "EncapsulatedDocument": b"%PDF-1.7 SECRET",
                    },
                    "Encapsulated PDF",
                ),
                ({"PixelData": None, "FloatPixelData": STORED.astype("<f4").tobytes()}, "without pixel data"),
                ({"PixelData": STORED.tobytes()[:-2]}, "1,534 bytes of pixel data"),
                ({"Rows": 25}, "1,536 bytes of pixel data"),
                ({"Rows": None}, "Rows with no usable value"),
                ({"Columns": None}, "Columns with no usable value"),
                ({"Columns": 0}, "Columns with 0"),
                ({"Rows": 65535, "Columns": 65535}, "1,536 bytes of pixel data"),
                ({"NumberOfFrames": "2"}, "1,536 bytes of pixel data"),
                ({"NumberOfFrames": "0"}, "NumberOfFrames with 0"),
                ({"NumberOfFrames": "-3"}, "NumberOfFrames with -3"),
                ({"NumberOfFrames": "2000000000"}, "1,536 bytes of pixel data"),
                ({"BitsAllocated": 12}, "BitsAllocated with 12"),
                ({"BitsStored": 17}, "BitsStored with 17"),
                ({"SamplesPerPixel": 3}, "SamplesPerPixel 3"),
                ({"PhotometricInterpretation": "SECRET"}, "unknown PhotometricInterpretation"),
                ({"RescaleSlope": 0}, "rescale slope"),
                ({"RescaleSlope": None}, "rescale slope"),
                ({"RescaleSlope": "1e308", "RescaleIntercept": "1e308"}, "damaged or truncated"),
            )
        )
    ),
    Case("nan-slope.dcm", lambda: dicom(STORED, RescaleSlope="11111").replace(b"11111", b"nan  "), 0, ("slope",)),
    Case(
        "infinite-slope.dcm", lambda: dicom(STORED, RescaleSlope="11111").replace(b"11111", b"inf  "), 0, ("slope",)
    ),
    Case("private.dcm", lambda: private(30_000_000), 1),
    Case("no-preamble.dcm", lambda: dicom(STORED)[132:], 0, ("a DICOM data set without its preamble",)),
    # NIfTI headers that lack something or lie
    Case(
        "holes.nii",
        lambda: holed(0, np.nan, np.inf),
        1,
        ("slice 2 that are not finite", "slice 3 that are not finite"),
    ),
    Case("nothing.nii", lambda: nifti(np.full((4, 5, 2), np.nan, np.float32), np.eye(4)), 0, ("no finite value",)),
    Case("flat.nii", lambda: volume(srow_x=[0, 0, 0, 0], srow_y=[0, 0, 0, 0]), 0, ("singular or not finite",)),
    Case("wide.nii", lambda: holed(0, 3e38, -3e38), 3),
    Case("widest.nii", widest, 0, ("values too far apart",)),
    Case("narrowest.nii", narrowest, 1),
    Case("slopeless.nii", lambda: volume(scl_slope=0), 2),
    Case("steep.nii", lambda: volume(scl_slope=np.inf), 0, ("an infinite slope",)),
    Case("long.nii", lambda: volume(dim=[3, 24, 32, 30_000, 1, 1, 1, 1]), 0, ("30,000 slices",)),
    Case("negative.nii", lambda: volume(dim=[3, 24, -32, 2, 1, 1, 1, 1]), 0, ("NIfTI dimensions",)),
    Case("far.nii", lambda: volume(vox_offset=1e9), 0, (" bytes",)),
    # Names in archives, and of files
    Case(
        "paths.zip",
        lambda: zipped({"../../../etc/a.png": small("PNG"), "/etc/b.png": small("PNG"), "C:\\c.png": small("PNG")}),
        3,
    ),
    Case("link.zip", linked, 0, ("a text file",)),
    Case("twice.zip", twice, 2),
    Case(
        "names.zip",
        lambda: zipped(
            {
                "<img src=x onerror=alert(1)>.png": small("PNG"),
                "**b** [l](http://x).png": small("PNG"),
                "\u202egnp.exe": b"MZ",
                "\x1b[31m\n": b"%PDF",
            }
        ),
        2,
        ("a PDF document", "a program"),
    ),
    Case("<script>alert(1)</script>.png", lambda: small("PNG"), 1),
    Case("# **bold** $x$ :red[y] [l](http://x).png", lambda: small("PNG"), 1),
    Case("\u202egnp.exe\x1b[31m\r\n\0\ud800.png", lambda: small("PNG"), 1),
    Case("=1+1,@SUM(A1).png", lambda: b"", 0, ("an empty file",)),
    Case("x" * 5000 + ".png", lambda: small("PNG"), 1),
    Case("", lambda: small("PNG"), 1),
)
