// Package python locks and derives components of the Python ecosystem, "python" in a recipe.
//
// A component is a virtual environment: what the project's own lock file (Poetry's or uv's) puts into it for the root's
// interpreter. The component's output is that environment, and at run time it is laid at the absolute path that it was made
// for. Other components use it, and the package's layout has it, at that very path:
//
//	env:
//	  ecosystem: python
//	  root: build                  # has python3, python3-dev and a compiler where something is compiled
//	  dir: backend                 # has pyproject.toml and the lock file
//	  at: /app                     # where the source is at run time: editable packages are imported from there
//	  src: [backend/pyproject.toml, backend/packages/*/pyproject.toml, backend/packages/*/src/*/__init__.py]
//	  options: {venv: /opt/venv}
//
// It becomes these nodes, each of which changes only with what it is made from:
//
//   - a fetch for every file: a wheel where one fits, else an sdist;
//   - for every sdist, the wheel built of it, in an environment of its own locked build requirements;
//   - for every package of the source itself (a path dependency, a member of a workspace), the wheel or, for an editable one,
//     the PEP 660 wheel that its backend makes, from what the component's src selects;
//   - the environment, with all of these installed and compiled.
//
// So an update of one package builds that package and the environment. A component's src should select what the packages of
// the source need to be built and no more: for an editable one its manifest and the layout of its folders, since its code is
// imported from the source. A change of other files then changes nothing here.
//
// # Options
//
//	venv               absolute path of the environment at run time; needed
//	python             the root's package of the interpreter, "python3.13"; needed only where the root has several
//	lock               the lock file's path, relative to the component's folder; the default is the poetry.lock or uv.lock there
//	folder             absolute path of the component's folder at run time, where at does not say it: the source's top has no
//	                   place there, or another
//	requirements       pip's requirements files, relative to the component's folder; no lock file is read then unless lock
//	                   names one. A Pipfile.lock is one that pins all: the packages of its "default"
//	constraints        pip's constraints files
//	install            what else is installed, as pip's arguments write it: [gunicorn==23.0, ./packages/core, -e ., --no-deps .];
//	                   folders are seen from the component's
//	exclude            packages of the lock that are left out ("--no-install-package")
//	groups             dependency groups; "main" is the project's own dependencies, and the default is [main]
//	extras             extras of the project
//	packages           members of a uv workspace to start from; the default is the project at the lock file or, where that
//	                   is none, all members
//	project            false leaves the project itself out ("--no-root", "--no-install-project"); the default is what the
//	                   project's tool does
//	editable           false installs packages of the source as wheels; the default is what the lock file says
//	compile            packages (":all:" is all) to build from their sdist although a wheel fits, besides those that the project names
//	                   (Poetry's installer.no-binary in poetry.toml, uv's no-binary and no-binary-package)
//	bytecode           false leaves modules uncompiled; the default is true, since the environment is read-only at run time
//	build-requires     further build requirements by package: {NAME: [cython<3]}. For a package of the source they stand in for
//	                   what its backend would ask for, and the backend is not asked
//	build-constraints  bounds for build requirements, as uv's build-constraint-dependencies, which hold as well
//
// The component's env is the environment of all builds of wheels. CPPFLAGS is -g0 where it does not set it. CFLAGS is better
// left alone: setuptools takes it in place of the interpreter's own flags, not besides them.
//
// # What is locked
//
// Upstream's lock file names the environment's files by hash; the component's lock keeps those that fit. It names no build
// requirements, so these are chosen here, for each sdist apart, as one may need another version than run time or its
// neighbour does: those that the sdist's pyproject.toml states, then those that its backend asks for when it is run in a
// sandbox with the former. The newest versions that fit together are taken, wheels before sdists; a later lock keeps them as
// long as they satisfy. See data for what stands in the lock.
//
// What the recipe's "replace" has in place of a package of the lock may be another version, a wheel or an sdist from anywhere, or a
// folder of the source; what it requires is not added, that is the upstream's lock's. What comes from a git repository is built of the tree
// of the commit that the lock names (artifact.GitArchive); where
// that says a folder, the package is built in it, with the rest of the tree beside it.
//
// Requirements with hashes are looked up by these; for those without, versions are chosen like build requirements, and the lock
// says of each artifact that its version is not the upstream's choice (role "chosen"). A part in Rust of an sdist is built of the
// crates that the sdist's Cargo.lock names, which are locked as well.
//
// What a package of the source is built from is its business at build time; locking reads its pyproject.toml, setup.cfg and
// setup.py alone. Its backend, asked for requirements, sees these and the names of the other files.
//
// # What is not supported
//
// Archives in the source; parts in Rust of packages of the source; crates from git repositories; pdm.lock; poetry.lock before
// lock-version 1.1; uv's extra-build-dependencies and no-build-isolation, and Poetry's build-constraints: an sdist that needs them
// is helped by build-requires and build-constraints. The interpreter must be 3.11 or later.
package python
