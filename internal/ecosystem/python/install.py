"""Lays wheels out as a virtual environment.

    python -I -S -B install.py SPEC

SPEC is a JSON file:

    venv      absolute path of the environment; it may exist and be empty
    python    absolute path of the interpreter that the environment is for: the one that runs this
    bytecode  whether to compile
    wheels    list of {file: the wheel's file name, path: where it is (a file, or a folder with one wheel in it),
              url: what direct_url.json says for a package that is a folder of the source, "" for others}

The same wheels make the same bytes, however many processes CORES allows. Specifications: "Binary distribution format",
"Entry points specification", "Recording installed projects", "Recording the direct URL origin", PEP 405, PEP 552.
"""

import base64
import concurrent.futures
import configparser
import csv
import hashlib
import importlib.util
import io
import json
import marshal
import multiprocessing
import os
import re
import sys
import types
import warnings
import zipfile

INSTALLER = b"headwater\n"
SCRIPT = """#!{python}
import sys
from {module} import {first}
if __name__ == "__main__":
    sys.argv[0] = sys.argv[0].removesuffix(".exe")
    sys.exit({call}())
"""
ACTIVATE = """# Use this from a shell: . {venv}/bin/activate
VIRTUAL_ENV={venv}
export VIRTUAL_ENV
PATH="$VIRTUAL_ENV/bin:$PATH"
export PATH
unset PYTHONHOME
"""
REFERENCE = re.compile(r"^(?P<module>\w+(?:\.\w+)*)\s*:\s*(?P<attribute>\w+(?:\.\w+)*)\s*(?:\[[^\]]*\])?$")
SCRIPT_NAME = re.compile(r"^[A-Za-z0-9_][\w.+-]*$", re.ASCII)


# No file is read whole that is larger, since what is read is held in memory.
MAX_FILE = 1 << 31


class Bad(Exception):
    """A wheel that is not installed."""


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def inside(name):
    """Checks a path in a wheel and returns its parts. A path that leads elsewhere is an error."""
    parts = name.split("/")
    if name.startswith("/") or "\\" in name or "\0" in name or any(p in ("", ".", "..") for p in parts):
        raise Bad(f"holds the path {name!r}, which leads out of it or is not clean")
    return parts


class Wheel:
    """A wheel, and where each of its files goes: schemes by the first folder below NAME.data, or site-packages."""

    def __init__(self, entry, schemes):
        self.file, self.url = entry["file"], entry["url"]
        self.path = entry["path"]
        if os.path.isdir(self.path):
            found = [f for f in sorted(os.listdir(self.path)) if f.endswith(".whl")]
            if len(found) != 1:
                raise Bad(f"{self.path} holds {len(found)} wheels, not one")
            self.file, self.path = found[0], os.path.join(self.path, found[0])
        self.schemes = schemes
        with zipfile.ZipFile(self.path) as z:
            self.infos = {}
            for i in z.infolist():
                if i.is_dir():
                    continue
                inside(i.filename)
                if i.filename in self.infos:
                    raise Bad(f"holds {i.filename} twice")
                if (i.external_attr >> 16) & 0o170000 not in (0, 0o100000):
                    raise Bad(f"holds {i.filename}, which is not a plain file")
                if i.file_size > MAX_FILE:
                    raise Bad(f"holds {i.filename}, which is larger than {MAX_FILE} bytes")
                self.infos[i.filename] = i
            self.name = normal(self.file.split("-")[0])
            self.dist_info = self.find_dist_info()
            self.check_version(z)
            self.scripts = self.entry_points(z)
        self.targets = self.list_targets()

    def find_dist_info(self):
        tops = {n.split("/")[0] for n in self.infos}
        found = [t for t in tops if t.endswith(".dist-info")]
        if len(found) != 1 or normal(found[0].split("-")[0]) != self.name:
            raise Bad(f"has {sorted(found)} where NAME-VERSION.dist-info should be")
        if found[0] + "/RECORD" not in self.infos or found[0] + "/METADATA" not in self.infos:
            raise Bad("has no RECORD or no METADATA")
        return found[0]

    def check_version(self, z):
        text = z.read(self.dist_info + "/WHEEL").decode()
        version = re.search(r"(?mi)^Wheel-Version:\s*(\d+)\.", text)
        if not version or version[1] != "1":
            raise Bad("is of a wheel version that is not known")

    def entry_points(self, z):
        """Returns the scripts that the wheel declares: name to (module, attribute)."""
        name = self.dist_info + "/entry_points.txt"
        if name not in self.infos:
            return {}
        config = configparser.ConfigParser(delimiters=("=",), interpolation=None, strict=False)
        config.optionxform = str
        try:
            config.read_string(z.read(name).decode())
        except configparser.Error as e:
            raise Bad(f"has entry points that cannot be read: {e}") from None
        scripts = {}
        for section in ("console_scripts", "gui_scripts"):
            if not config.has_section(section):
                continue
            for script, reference in config.items(section):
                m = REFERENCE.match(reference.strip())
                if not m or not SCRIPT_NAME.match(script):
                    raise Bad(f"has a script {script} = {reference}, which is not NAME = MODULE:FUNCTION")
                scripts[script] = (m["module"], m["attribute"])
        return scripts

    def target(self, name):
        """Where a file of the wheel goes, and whether it is a script; None where it does not go anywhere."""
        parts = inside(name)
        if parts[0] == self.dist_info:
            if parts[1:] in (["RECORD"], ["RECORD.jws"], ["RECORD.p7s"], ["INSTALLER"], ["direct_url.json"], ["REQUESTED"]):
                return None, False
        if parts[-2:-1] == ["__pycache__"]:
            return None, False  # bytecode is made here, or not at all
        if parts[0].endswith(".data") and normal(parts[0].split("-")[0]) == self.name:
            if len(parts) < 3 or parts[1] not in self.schemes:
                raise Bad(f"holds {name}, which is of no known scheme")
            base = self.schemes[parts[1]]
            if parts[1:3] == ["data", "lib64"]:
                parts[2] = "lib"  # a link to it
            if parts[1] == "headers":
                base = os.path.join(base, self.file.split("-")[0])
            return os.path.join(base, *parts[2:]), parts[1] == "scripts"
        return os.path.join(self.schemes["purelib"], *parts), False

    def list_targets(self):
        """All that the wheel brings, without RECORD and bytecode: path to the file in the wheel, or None where it is made."""
        out = {}
        for name in self.infos:
            path, _ = self.target(name)
            if path:
                out[path] = name
        for script in self.scripts:
            out[os.path.join(self.schemes["scripts"], script)] = None
        for made in self.made():
            out[os.path.join(self.schemes["purelib"], self.dist_info, made)] = None
        for path in out:
            if path == os.path.join(self.schemes["data"], "pyvenv.cfg") or re.fullmatch(r"python[0-9.]*|activate", os.path.relpath(path, self.schemes["scripts"])):
                raise Bad(f"brings {path}, which is the environment's own")
        return out

    def made(self):
        made = {"INSTALLER": INSTALLER}
        if self.url:
            made["direct_url.json"] = self.url.encode()
        return made


def write(path, data, executable=False):
    # Another process may be making the same folder, never the same file.
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)
    if executable:
        os.chmod(path, 0o755)


def script(python, module, attribute):
    return SCRIPT.format(python=python, module=module, first=attribute.split(".")[0], call=attribute).encode()


def interned(value):
    """A constant with all strings in it interned."""
    kind = type(value)
    if kind is str:
        return sys.intern(value)
    if kind in (tuple, frozenset):
        return kind(map(interned, value))
    if kind is types.CodeType:
        return value.replace(co_consts=tuple(map(interned, value.co_consts)))
    return value


def compiled(source, path):
    """The bytecode of a module, None where it does not compile: wheels hold templates and code for other versions.

    marshal marks what is shared by its reference count, and whether a string is interned. Both depend on what this process
    did before: a string is interned as it is, or replaced by an equal one that another module had interned. So all are
    interned; and what is loaded from a first dump has only the references that it holds itself, so that the second dump
    depends on the source alone.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            code = interned(compile(source, path, "exec", dont_inherit=True))
    except (SyntaxError, ValueError, RecursionError, MemoryError, UnicodeError):
        return None
    body = marshal.dumps(marshal.loads(marshal.dumps(code)))
    # PEP 552: flags 1 says that the hash of the source stands here, and that it is not checked.
    return importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little") + importlib.util.source_hash(source) + body


def install(wheel, python, bytecode, skip):
    """Installs one wheel; skip holds the paths that a later wheel brings too."""
    record = []

    def put(path, data, executable=False):
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        record.append((os.path.relpath(path, wheel.schemes["purelib"]), "sha256=" + digest, len(data)))
        if path not in skip:
            write(path, data, executable)

    with zipfile.ZipFile(wheel.path) as z:
        for name, info in wheel.infos.items():
            path, is_script = wheel.target(name)
            if not path:
                continue
            data = z.read(info)
            if is_script and (m := re.match(rb"#!pythonw?([ \t][^\n]*)?\r?\n", data)):
                data = b"#!" + python.encode() + (m[1] or b"") + b"\n" + data[m.end():]
            put(path, data, is_script or bool((info.external_attr >> 16) & 0o111))
            if bytecode and path.endswith(".py") and path.startswith(wheel.schemes["purelib"] + "/"):
                cache = importlib.util.cache_from_source(path)
                if path not in skip and (code := compiled(data, path)):
                    put(cache, code)
    for name, (module, attribute) in wheel.scripts.items():
        put(os.path.join(wheel.schemes["scripts"], name), script(python, module, attribute), True)
    dist_info = os.path.join(wheel.schemes["purelib"], wheel.dist_info)
    for name, data in wheel.made().items():
        put(os.path.join(dist_info, name), data)
    path = os.path.join(dist_info, "RECORD")
    record.append((os.path.relpath(path, wheel.schemes["purelib"]), "", ""))
    text = io.StringIO()
    # A wheel may bring a path twice, in its root and in its data: one line a path.
    csv.writer(text, lineterminator="\n").writerows(sorted({r[0]: r for r in record}.values()))
    write(path, text.getvalue().encode())


def make_venv(venv, python):
    """Makes the empty environment (PEP 405)."""
    base = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    os.makedirs(os.path.join(venv, "bin"), exist_ok=True)
    os.symlink(python, os.path.join(venv, "bin", base))
    os.symlink(base, os.path.join(venv, "bin", "python3"))
    os.symlink(base, os.path.join(venv, "bin", "python"))
    os.symlink("lib", os.path.join(venv, "lib64"))
    write(os.path.join(venv, "pyvenv.cfg"), (
        f"home = {os.path.dirname(python)}\ninclude-system-site-packages = false\n"
        f"version = {'.'.join(map(str, sys.version_info[:3]))}\nexecutable = {python}\n").encode())
    write(os.path.join(venv, "bin", "activate"), ACTIVATE.format(venv=venv).encode())


def skips(wheels):
    """Where several wheels bring one path, the last one by name has it. Returns each wheel's paths that it does not have."""
    owner, skip = {}, [set() for _ in wheels]
    for n, wheel in enumerate(wheels):
        for path, name in wheel.targets.items():
            if path in owner:
                other, theirs = owner[path]
                skip[other].add(path)
                if not name or not theirs or wheel.infos[name].CRC != wheels[other].infos[theirs].CRC:
                    print(f"warning: {wheels[other].file} and {wheel.file} both bring {path}: the latter's is taken", file=sys.stderr)
            owner[path] = n, name
    paths = set(owner)
    for path in paths:
        parent = os.path.dirname(path)
        while len(parent) > 1:
            if parent in paths:
                raise Bad(f"{parent} is a file in one wheel and a folder in another")
            parent = os.path.dirname(parent)
    return skip


def run(jobs):
    """Installs wheels in CORES processes. Each does the same whichever process it falls to, in whatever order."""
    workers = min(int(os.environ.get("CORES") or 1), len(jobs))
    if workers < 2:
        for job in jobs:
            install(*job)
        return
    # The largest first, so that no process is left with much at the end.
    jobs.sort(key=lambda job: -sum(i.file_size for i in job[0].infos.values()))
    context = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(workers, mp_context=context) as pool:
        for done in [pool.submit(install, *job) for job in jobs]:
            done.result()


def main():
    with open(sys.argv[1]) as f:
        spec = json.load(f)
    venv, base = spec["venv"], f"python{sys.version_info[0]}.{sys.version_info[1]}"
    site = os.path.join(venv, "lib", base, "site-packages")
    schemes = {"purelib": site, "platlib": site, "scripts": os.path.join(venv, "bin"), "data": venv,
               "headers": os.path.join(venv, "include", "site", base)}
    make_venv(venv, spec["python"])
    os.makedirs(site, exist_ok=True)
    wheels = []
    for entry in spec["wheels"]:
        try:
            wheels.append(Wheel(entry, schemes))
        except (Bad, zipfile.BadZipFile, KeyError, UnicodeDecodeError, OSError) as e:
            sys.exit(f"install {entry['file']}: {e}")
    wheels.sort(key=lambda w: (w.name, w.file))
    for a, b in zip(wheels, wheels[1:]):
        if a.name == b.name:
            sys.exit(f"install {b.file}: {a.file} is of the same package")
    try:
        skip = skips(wheels)
    except Bad as e:
        sys.exit(f"install: {e}")
    run([(w, os.path.join(venv, "bin", "python"), spec["bytecode"], s) for w, s in zip(wheels, skip)])


if __name__ == "__main__":
    main()
