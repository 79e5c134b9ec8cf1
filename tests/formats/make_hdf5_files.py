"""Makes the small files in files/hdf5 with h5py: `python tests/formats/make_hdf5_files.py`.

Each holds what one oldest supported version of HDF5 writes for the same objects. What they hold is in
`expected_arrays` and `expected_attributes`, from which the tests compare.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent / "files" / "hdf5"

# Files, and the oldest versions of HDF5 that each is written for: superblocks 0 and 3, layouts 3 to 5.
FILES = {
    "types": ("earliest", "latest"),
    "dense": ("earliest", "latest"),
    "chunks": ("earliest", "v110", "latest"),
    "long": ("latest",),
}

# Filters by name: how a chunk gets through all that are supported, alone and together.
FILTERS: dict[str, dict[str, Any]] = {
    "plain": {},
    "deflate": {"compression": "gzip"},
    "shuffled": {"compression": "gzip", "shuffle": True, "fletcher32": True},
    "checked": {"fletcher32": True},
}
SOME = ("plain", "shuffled")

# Chunk shapes and largest shapes by name: every index of chunks that there is.
CHUNKS: dict[str, dict[str, Any]] = {
    "single": {"chunks": (7, 5)},
    "fixed": {"chunks": (3, 2)},
    "fixed_wider": {"chunks": (3, 2), "maxshape": (9, 5)},
    "extensible": {"chunks": (3, 2), "maxshape": (7, None)},
    "extensible_first": {"chunks": (2, 5), "maxshape": (None, 5)},
    "tree": {"chunks": (3, 2), "maxshape": (None, None)},
}


def expected_arrays() -> dict[str, Any]:
    """Arrays by path in file "types"."""
    numbers = np.arange(-6, 6).reshape(3, 4)
    found: dict[str, Any] = {
        f"types/{name}": (numbers if np.dtype(name).kind != "u" else numbers + 6).astype(name)
        for name in ("<f2", "<f4", ">f4", "<f8", ">f8", "i1", "<i2", ">i4", "<i8", "u1", ">u2", "<u8")
    }
    found["types/bool"] = numbers % 3 == 0
    found["types/bytes"] = np.array([b"kernel", b"bias", b""])
    found["types/text"] = np.array(["käse", "", "brot"], object)
    found["types/scalar"] = np.float32(2.5)
    return found


def expected_attributes() -> dict[str, Any]:
    """Attributes of the group "types"."""
    return {
        "text": "a longer text" * 20,
        "bytes": np.bytes_(b"bytes"),
        "names": np.array([b"kernel:0", b"bias:0"]),
        "texts": np.array(["a", "bc"], object),
        "number": np.float64(0.5),
        "array": np.arange(6).reshape(2, 3),
        "flag": np.bool_(True),
        "none": None,
    }


def chunked_names() -> list[tuple[str, str]]:
    """Names of chunks and of filters of all chunked datasets; the files are to stay small."""
    return [
        (chunks, filters) for chunks in CHUNKS for filters in FILTERS if chunks == "single" or filters in SOME
    ]


def chunked_array() -> Any:
    """What all chunked datasets hold."""
    return np.random.default_rng(0).integers(-9, 9, (7, 5)).astype(np.float32)


def _write_types(file: Any) -> None:
    import h5py

    for path, value in expected_arrays().items():
        file[path] = value
    for name, value in expected_attributes().items():
        file["types"].attrs[name] = h5py.Empty("f4") if value is None else value
    file["soft"] = h5py.SoftLink("/types/<f4")
    file["relative"] = h5py.SoftLink("types")
    file["hard"] = file["types/<f8"]


def _write_chunks(file: Any) -> None:
    for chunks, filters in chunked_names():
        file.create_dataset(f"{chunks}/{filters}", data=chunked_array(), **CHUNKS[chunks], **FILTERS[filters])
    gaps = file.create_dataset("gaps", shape=(6,), chunks=(2,), dtype="<i4", fillvalue=7)
    gaps[2] = 1
    file.create_dataset("unwritten", shape=(3,), dtype="<f4", fillvalue=0.5)
    grown = file.create_dataset("shrunk", data=np.arange(12), chunks=(2,), maxshape=(None,))
    grown.resize((5,))


def _write_dense(file: Any) -> None:
    many = file.create_group("many")
    for index in range(40):
        many[f"member{index:02}"] = np.uint8(index)
    for index in range(20):
        many.attrs[f"attribute{index:02}"] = index


def _write_long(file: Any) -> None:
    """Tables with pages and blocks of blocks."""
    file.create_dataset("fixed", data=np.arange(1500, dtype=np.uint8), chunks=(1,))
    file.create_dataset("extensible", data=np.arange(1500, dtype=np.uint8), chunks=(1,), maxshape=(None,))
    sparse = file.create_dataset("sparse", shape=(300_000,), chunks=(10,), maxshape=(None,), dtype=np.uint8)
    sparse[5] = sparse[299_999] = 1


def main() -> None:
    """Writes all files."""
    import h5py

    FOLDER.mkdir(parents=True, exist_ok=True)
    writers = {"types": _write_types, "dense": _write_dense, "chunks": _write_chunks, "long": _write_long}
    for name, versions in FILES.items():
        for version in versions:
            with h5py.File(FOLDER / f"{name}-{version}.h5", "w", libver=version) as file:
                writers[name](file)
    with h5py.File(FOLDER / "block.h5", "w", libver="earliest", userblock_size=512) as file:
        file["x"] = np.arange(3)


if __name__ == "__main__":
    main()
