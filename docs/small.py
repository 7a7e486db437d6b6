"""`python docs/small.py nbs/*.ipynb nbs/images/*.png`: pictures, and the figures of executed notebooks, with 48 colours, a quarter of the bytes."""
import base64, io, sys
from pathlib import Path

import nbformat
from PIL import Image


def small(png: str) -> str:
    "A PNG (base64) with a palette, if that is smaller"
    file = io.BytesIO()
    Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB").quantize(48, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return min(png, base64.b64encode(file.getvalue()).decode(), key=len)


for path in map(Path, sys.argv[1:]):
    if path.suffix == ".png":
        path.write_bytes(base64.b64decode(small(base64.b64encode(path.read_bytes()).decode())))
        continue
    notebook = nbformat.read(path, 4)
    for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
        if "image/png" in output.get("data", {}): output.data["image/png"] = small(output.data["image/png"])
    nbformat.write(notebook, path)
