"""Runs one hook of a build backend (PEP 517, PEP 660).

    ENV/bin/python -P build.py SPEC OUT

ENV is an environment of the build requirements, SPEC a JSON file. An sdist is unpacked to the folder "sdist" of the
working directory.

    source        absolute path of an sdist, or of the folder to build
    skeleton      content of files by path, for a folder of which not everything is at hand: it is made at source, with
                  the folders and empty files of which names lists the paths
    names         see skeleton
    backend       "module" or "module:object"
    backendPath   folders of the source that the backend is in
    hook          "wheel", "editable", "requires-wheel" or "requires-editable"
    name          the normalised name that the result must have
    version       the version that it must have, "" for any
    crates        the crates that its part in Rust is built of: list of {path: of the .crate, name: of its folder, sha256}

The result is in the folder OUT: one wheel, without compression and always in the same order, or requires.json.
"""

import importlib
import json
import os
import re
import shutil
import stat
import sys
import tarfile
import tempfile
import zipfile

OPTIONAL = {"requires-wheel": "get_requires_for_build_wheel", "requires-editable": "get_requires_for_build_editable"}
HOOKS = {"wheel": "build_wheel", "editable": "build_editable"}


class Bad(Exception):
    """An archive, a backend or a result that is not taken."""


def clean(name):
    """A path in an archive, without what leads nowhere; one that leads out is an error."""
    parts = [p for p in name.split("/") if p not in ("", ".")]
    if name.startswith("/") or "\\" in name or "\0" in name or ".." in parts:
        raise Bad(f"the archive holds the path {name!r}, which leads out of it")
    return "/".join(parts)


def unpack_tar(path, to):
    with tarfile.open(path) as archive:
        for member in archive:
            name = clean(member.name)
            target = os.path.join(to, name)
            through_link(to, name)
            if member.isdir():
                os.makedirs(target, exist_ok=True)
            elif member.isreg():
                os.makedirs(os.path.dirname(target), exist_ok=True)
                if os.path.lexists(target):
                    os.remove(target)
                with archive.extractfile(member) as source, open(target, "xb") as out:
                    shutil.copyfileobj(source, out)
                os.chmod(target, 0o755 if member.mode & 0o111 else 0o644)
                # Build systems compare times to see what was generated from what.
                os.utime(target, (member.mtime, member.mtime))
            elif member.issym() or member.islnk():
                link(member, to, target, name)
            elif member.type not in (tarfile.XGLTYPE, tarfile.XHDTYPE):
                raise Bad(f"the archive holds {member.name!r}, which is neither file, folder nor link")


def through_link(to, name):
    """Checks that no folder on the way is a link, and so that nothing is written through one."""
    at = to
    for part in name.split("/")[:-1]:
        at = os.path.join(at, part)
        if os.path.islink(at):
            raise Bad(f"the archive holds {name!r} below a link")


def link(member, to, target, name):
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if member.islnk():
        source = os.path.join(to, clean(member.linkname))
        if not os.path.isfile(source) or os.path.islink(source):
            raise Bad(f"the archive holds {name!r}, a link to {member.linkname!r}, which is not in it")
        through_link(to, clean(member.linkname))
        shutil.copy2(source, target)
        return
    points = os.path.normpath(os.path.join(os.path.dirname(name), member.linkname))
    if member.linkname.startswith("/") or points.split("/")[0] == "..":
        raise Bad(f"the archive holds {name!r}, a link to {member.linkname!r}, which leads out of it")
    os.symlink(member.linkname, target)


def unpack_zip(path, to):
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            target = os.path.join(to, clean(info.filename))
            if info.is_dir():
                os.makedirs(target, exist_ok=True)
                continue
            mode = info.external_attr >> 16
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
                raise Bad(f"the archive holds {info.filename!r}, which is not a plain file")
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with archive.open(info) as source, open(target, "wb") as out:
                shutil.copyfileobj(source, out)
            os.chmod(target, 0o755 if mode & 0o111 else 0o644)


def open_source(spec):
    """Returns the folder to build in."""
    source = spec["source"]
    if spec.get("skeleton") is not None:
        for name in spec["names"]:
            os.makedirs(os.path.dirname(os.path.join(source, clean(name))), exist_ok=True)
            open(os.path.join(source, clean(name)), "a").close()
        for name, content in spec["skeleton"].items():
            with open(os.path.join(source, clean(name)), "w") as f:
                f.write(content)
        return source
    if os.path.isdir(source):
        return source
    work = os.path.join(os.getcwd(), "sdist")
    os.makedirs(work)
    # The store's name of a file may differ from its own, so the content tells.
    (unpack_zip if zipfile.is_zipfile(source) else unpack_tar)(source, work)
    tops = os.listdir(work)
    if len(tops) != 1 or not os.path.isdir(os.path.join(work, tops[0])):
        raise Bad(f"the archive holds {sorted(tops)}, not one folder")
    return os.path.join(work, tops[0])


def lay_crates(crates):
    """Makes the crates cargo's only source, by its settings for the user."""
    vendor, home = os.path.join(os.getcwd(), "crates"), os.path.join(os.getcwd(), "cargo")
    os.makedirs(vendor)
    os.makedirs(home)
    for crate in crates:
        unpack_tar(crate["path"], vendor)
        with open(os.path.join(vendor, clean(crate["name"]), ".cargo-checksum.json"), "w") as f:
            json.dump({"files": {}, "package": crate["sha256"]}, f)
    with open(os.path.join(home, "config.toml"), "w") as f:
        f.write(f'[source.crates-io]\nreplace-with = "locked"\n[source.locked]\ndirectory = "{vendor}"\n[net]\noffline = true\n')
    os.environ["CARGO_HOME"] = home
    os.environ["CARGO_NET_OFFLINE"] = "true"


def load_backend(spec, folder):
    paths = []
    for p in spec["backendPath"] or []:
        path = os.path.realpath(os.path.join(folder, p))
        if path != os.path.realpath(folder) and not path.startswith(os.path.realpath(folder) + os.sep):
            raise Bad(f"backend-path {p!r} leads out of the source")
        paths.append(path)
    sys.path[:0] = paths
    module, _, attribute = spec["backend"].partition(":")
    backend = importlib.import_module(module)
    for part in attribute.split(".") if attribute else []:
        backend = getattr(backend, part)
    return backend


def version_key(version):
    """A version with what may be spelled in several ways taken out."""
    version = re.sub(r"\d+", lambda m: str(int(m[0])), version.lower().removeprefix("v"))
    return re.sub(r"(\.0)+$", "", re.sub(r"[-_.]+", ".", version))


def repack(wheel, out, spec):
    """Writes the wheel again so that its bytes depend on its files alone."""
    file = os.path.basename(wheel)
    parts = file.removesuffix(".whl").split("-")
    if len(parts) not in (5, 6) or re.sub(r"[-_.]+", "-", parts[0]).lower() != spec["name"]:
        raise Bad(f"the backend made {file}, which is no wheel of {spec['name']}")
    if spec["version"] and version_key(parts[1]) != version_key(spec["version"]):
        raise Bad(f"the backend made {file}, which is not version {spec['version']}")
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(os.path.join(out, file), "w", zipfile.ZIP_STORED) as target:
        # RECORD comes last, as the format recommends.
        for info in sorted(source.infolist(), key=lambda i: (i.filename.endswith(".dist-info/RECORD"), i.filename)):
            if info.is_dir():
                continue
            same = zipfile.ZipInfo(info.filename, (1980, 1, 1, 0, 0, 0))
            same.create_system = 3
            same.external_attr = (0o100755 if (info.external_attr >> 16) & 0o111 else 0o100644) << 16
            data = source.read(info)
            if info.filename.endswith(".dist-info/RECORD"):
                data = b"".join(sorted(data.splitlines(keepends=True)))
            target.writestr(same, data)


def run(spec, out):
    folder = open_source(spec)
    if spec.get("crates"):
        lay_crates(spec["crates"])
    os.chdir(folder)
    backend = load_backend(spec, folder)
    hook = spec["hook"]
    if hook in OPTIONAL:
        ask = getattr(backend, OPTIONAL[hook], None)
        requires = list(ask(None)) if ask else []
        if not all(isinstance(r, str) for r in requires):
            raise Bad("the backend's requirements are not a list of texts")
        with open(os.path.join(out, "requires.json"), "w") as f:
            json.dump(sorted(set(requires)), f)
        return
    if not hasattr(backend, HOOKS[hook]):
        raise Bad(f"the backend {spec['backend']} has no {HOOKS[hook]}")
    with tempfile.TemporaryDirectory() as made:
        name = getattr(backend, HOOKS[hook])(made, None, None)
        if not isinstance(name, str) or name != os.path.basename(name) or not name.endswith(".whl"):
            raise Bad(f"the backend says that it made {name!r}")
        repack(os.path.join(made, name), out, spec)


class Names:
    """Names for temporary files, in place of random ones: some backends build in such a folder, and write where that was."""

    def __init__(self):
        self.count = 0

    def __iter__(self):
        return self

    def __next__(self):
        self.count += 1
        return f"{self.count:08}"


def main():
    with open(sys.argv[1]) as f:
        spec = json.load(f)
    tempfile._name_sequence = Names()  # a name that is taken already is passed over, as always
    # A backend sees itself as the program, not this.
    sys.argv, out = sys.argv[:1], sys.argv[2]
    try:
        run(spec, out)
    except (Bad, tarfile.TarError, zipfile.BadZipFile) as e:
        sys.exit(f"build {spec['name']}: {e}")


if __name__ == "__main__":
    main()
