"""Build the documentation site from the notebooks: nbdev prepares the pages in _proc/, Sphinx renders them to _docs/.

nbdev's own site builder is Quarto. Sphinx with myst-nb needs no program beside Python's packages, so three things of
Quarto's are translated here: `show_doc`'s API entries become Sphinx directives, `#|` directives become cell tags, and
names in backticks become links."""
import inspect, re, shutil, subprocess, sys
from importlib import import_module
from pathlib import Path
from typing import get_type_hints

import yaml
from fastcore.docments import ShowDocRenderer, docments
from nbdev.config import get_config
from nbdev.doclinks import _build_modidx
from nbdev.process import Processor
from nbdev.serve import proc_nbs

ROOT = Path(__file__).resolve().parent.parent
TAGS = {("echo", "false"): "remove-input", ("output", "false"): "remove-output"}
EMPTY = inspect.Parameter.empty


def symbols() -> dict[str, str]:
    "Exported name, short or full -> full name"
    from audiomnist_nb._modidx import d
    names = {}
    for module, members in d["syms"].items():
        for full in members: names[full] = names[full.removeprefix(f"{module}.")] = full
    return names


def as_text(annotation) -> str:
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def plain(text: str) -> str:
    "A docstring or comment in which <name> is a placeholder, not HTML"
    return text.replace("<", "&lt;")


def parameter(name: str, annotation=EMPTY, default=EMPTY) -> str:
    "A parameter as a signature shows it"
    text = name + (f": {as_text(annotation)}" if annotation is not EMPTY else "")
    if default is EMPTY: return text
    return f"{text} = {'...' if repr(default) == '<factory>' else getattr(default, '__name__', None) or repr(default)}"


def settings_entry(cls) -> tuple[str, list[str]]:
    "Signature and parameter table of a pydantic settings class"
    fields = cls.model_fields.items()
    types = get_type_hints(cls)   # without their limits, which the table tells
    shown = [parameter(name, types[name], EMPTY if f.is_required() else f.get_default(call_default_factory=True, validated_data={})) for name, f in fields]
    limits = lambda f: ", ".join(f"{op} {getattr(m, key)}" for m in f.metadata for key, op in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<")) if hasattr(m, key))
    table = [f":param {name}: {f.description or ''}{f' ({limits(f)})' if limits(f) else ''}" for name, f in fields]
    return f"({', '.join(shown)})", table


def callable_entry(symbol) -> tuple[str, list[str]]:
    "Signature and parameter table of a function or class, from the comments beside its parameters"
    entries = docments(symbol, full=True, returns=True)
    returned = entries.pop("return", None)
    entries = {name: entry for name, entry in entries.items() if name not in ("self", "cls")}
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    shown = [parameter(stars.get(e.get("kind"), "") + name, e.anno, e.default) for name, e in entries.items()]
    table = [f":param {name}: {plain(e.docment)}" for name, e in entries.items() if e.docment]
    signature = "" if shown == ["*args", "**kwargs"] else f"({', '.join(shown)})"   # another library's
    if returned and not inspect.isclass(symbol):
        if returned.anno is not EMPTY: signature += f" -> {as_text(returned.anno)}"
        if returned.docment: table.append(f":returns: {plain(returned.docment)}")
    return signature, table


def methods(cls) -> list[tuple[str, str, object]]:
    "Directive, name and function of the documented public methods that a class defines itself"
    found = []
    for name, member in vars(cls).items():
        kind = "property" if isinstance(member, property) else "classmethod" if isinstance(member, classmethod) else "method"
        function = getattr(member, "fget", None) or getattr(member, "__func__", member)
        if (name == "forward" or not name.startswith("_")) and inspect.isfunction(function) and function.__doc__: found.append((kind, name, function))
    return found


def directive(kind: str, name: str, signature: str, body: list[str], module: str = None, colons: int = 4) -> str:
    options = ([f":module: {module}"] if module else []) + [":classmethod:"]*(kind == "classmethod")
    fence = ":"*colons
    return "\n".join([f"{fence}{{py:{'method' if kind == 'classmethod' else kind}}} {name}{signature}", *options, "", *body, fence, ""])


class Entry(ShowDocRenderer):
    "An API entry: signature, one line, a table of parameters; for a class its methods too"
    def _repr_markdown_(self):
        full = symbols()[self.nm]   # the package's own: the page's copy has no source file
        module = full.removesuffix(f".{self.nm}")
        symbol = getattr(import_module(module), self.nm)
        if not inspect.isclass(symbol): symbol = inspect.unwrap(symbol)
        kind = "class" if inspect.isclass(symbol) else "function"
        signature, table = (settings_entry if hasattr(symbol, "model_fields") else callable_entry)(symbol)
        body = [plain(self.docs or ""), "", *table, ""]
        for what, name, function in methods(symbol) if kind == "class" else []:
            own, rows = callable_entry(function) if what != "property" else ("", [])
            body.append(directive(what, name, own, [plain(inspect.getdoc(function)), "", *rows]))
        return directive(kind, self.nm, signature, body, module, colons=5)


class to_myst(Processor):
    "nbdev's processed notebook, in the form that myst-nb renders"
    def begin(self):
        self.names = symbols()
        for cell in self.nb.cells:
            if cell.get("source"): getattr(self, cell.cell_type)(cell)

    def raw(self, cell):   # nbdev's front matter, made of the title cell
        front = yaml.safe_load(cell.source.strip().strip("-")) or {}
        cell.cell_type, cell.source = "markdown", f"# {front.get('title', '')}\n\n*{front.get('description', '')}*\n"

    def markdown(self, cell): cell.source = self.linked(cell.source.replace("](nbs/", "](").replace("](benchmarks/", "](images/").replace("`page/`", '<a href="page/index.html">page/</a>'))   # README.md's paths

    def code(self, cell):
        lines = cell.source.splitlines(keepends=True)
        tags = set(cell.metadata.get("tags", []))
        while lines and (match := re.match(r"#\|\s*([\w-]+)\s*:?\s*(.*?)\s*$", lines[0])):
            tags |= {TAGS[match.groups()]} if match.groups() in TAGS else set()
            lines.pop(0)
        cell.source = "".join(lines)
        if tags: cell.metadata["tags"] = sorted(tags)
        if cell.source.startswith("show_doc") and cell.get("outputs"):
            text = "".join(cell.outputs[0]["data"]["text/markdown"])
            cell.cell_type, cell.source = "markdown", self.linked(text)
            for key in ("outputs", "execution_count", "has_sd"): cell.pop(key, None)

    def linked(self, text: str) -> str:
        "Exported names in backticks, outside code blocks, as links"
        link = lambda m: f"{{py:obj}}`{m[1]} <{self.names[m[1]]}>`" if m[1] in self.names else m[0]
        parts = re.split(r"(^```.*?^```)", text, flags=re.M | re.S)
        return "".join(part if part.startswith("```") else re.sub(r"(?<![`\w}\[])`([A-Za-z_][\w.]*)`(?!`)", link, part) for part in parts)


def add_contents(page: Path) -> None:
    "Give the home page a table of contents, chapter by chapter"
    import nbformat
    chapters = {"0": "Data", "1": "Models", "2": "Training", "3": "Inference", "4": "Tools"}
    stems = sorted(p.stem for p in page.parent.glob("*.ipynb") if p != page)
    trees = [f"```{{toctree}}\n:hidden:\n:caption: {title}\n\n" + "\n".join(s for s in stems if s[1] == number) + "\n```" for number, title in chapters.items()]
    notebook = nbformat.read(page, 4)
    notebook.cells.append(nbformat.v4.new_markdown_cell("\n\n".join(trees)))
    nbformat.write(notebook, page)


def main():
    get_config().d.update(renderer="build.Entry", procs="build:to_myst", skip_procs="add_links,insert_warning")   # this module, by name
    _build_modidx()
    shutil.rmtree(ROOT/"_docs", ignore_errors=True)
    proc_nbs(n_workers=0, force=True)
    shutil.copytree(ROOT/"nbs/images", ROOT/"_proc/images", dirs_exist_ok=True)
    shutil.copy(ROOT/"benchmarks/results.png", ROOT/"_proc/images")
    add_contents(ROOT/"_proc/index.ipynb")
    subprocess.run([sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-c", ROOT/"docs", ROOT/"_proc", ROOT/"_docs"], check=True)
    from audiomnist_nb.config import InputError
    from audiomnist_nb.export import page
    try: page(ROOT/"_docs/page")
    except InputError as error: print(f"without the page that answers in the browser: {error}")
    print("the site is in _docs/index.html")


if __name__ == "__main__": main()
