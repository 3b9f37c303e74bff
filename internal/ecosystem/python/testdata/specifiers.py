"""Writes specifiers.json: what the reference implementation says of versions, specifiers and markers.

    python3 -m venv env && env/bin/pip install packaging==25.0 && env/bin/python specifiers.py > specifiers.json
"""
import itertools, json, random
from packaging.version import Version, InvalidVersion
from packaging.specifiers import SpecifierSet, InvalidSpecifier
from packaging.markers import Marker
from packaging.utils import canonicalize_name

random.seed(1)
versions = ("0 1 1.0 1.0.0 1.0.1 1.1 1.10 1.2.3 2 2.0 2.0.0 10 2024.1.1 1!0.5 1!1.0 1.0a1 1.0.a.1 1.0alpha 1.0b2 1.0-beta2 1.0rc1 1.0c1 1.0.pre1"
            " 1.0preview2 1.0.dev1 1.0dev 1.0a1.dev2 1.0.post1 1.0-1 1.0rev2 1.0.post1.dev3 1.0r3 1.0+abc 1.0+abc.5 1.0+5 1.0+5.1 1.0+ABC_5 v1.1"
            " 1.0a0 1.0a 1.1.dev0 1.1a1 1.1.post0 1.2.3.post1+x 3.13 3.13.0 3.13.5 3.9 1.0.0.0.1").split()
order = sorted(versions, key=Version)
compare = [[a, b, (Version(a) > Version(b)) - (Version(a) < Version(b))] for a, b in itertools.product(versions, versions)]
compare = random.sample(compare, 900)
specs = ("==1.0 ==1.0.0 ==1 ==1.* ==1.0.* ==1!1.* ==1.0a1 ==1.0+abc ==1.0+5 !=1.0 !=1.* !=1.0.* !=1.0+abc >1.0 >=1.0 <1.0 <=1.0 >1.0.post1 >1.0a1 <1.0a2 <1.0rc1 <1.1"
         " <1.1a2 <=1.0a1 >=1.1.dev0 >=1.0.dev1 ~=1.0 ~=1.0.0 ~=1.0a1 ~=1.0.post1 ~=1!1.0 ~=2024.1 ===1.0 ===1.0+ABC >=1,<2 >=1.0,!=1.0.1,<2 >=3.9,<3.14"
         " ~=3.13 ==3.13.* <3.13 >=3.13 >2 <2 >=1!0 ~=1.0rc1 >1!0").split()
contains = [[s, v, SpecifierSet(s).contains(v, prereleases=True)] for s in specs for v in versions]
def valid(f, s):
    try:
        f(s)
        return True
    except (InvalidVersion, InvalidSpecifier):
        return False
bad = "1.0.* a 1..0 1.0+ 1.0- -1 1.0.dev.x 1,0 1.0+a+b  1.0_ ! 1!".split(" ")
parse = [[v, valid(Version, v)] for v in bad + versions]
badspecs = ["1.0", "=1.0", ">=1.*", "~=1", "~=1.*", ">=1.0+abc", "<1.0+abc", "==1.0.dev1.*", "==1.0+abc.*", "==", ">=1.0 <2", "^1.0", "~1", "==1.0;", "=>1"]
parsespec = [[s, valid(SpecifierSet, s)] for s in badspecs + specs]

env = {"python_version": "3.13", "python_full_version": "3.13.5", "os_name": "posix", "sys_platform": "linux", "platform_release": "",
       "platform_system": "Linux", "platform_version": "", "platform_machine": "x86_64", "platform_python_implementation": "CPython",
       "implementation_name": "cpython", "implementation_version": "3.13.5"}
markers = """python_version < "3.13"
python_version >= "3.9" and python_version < "4"
python_version == "3.13"
python_version == "3.13.*"
python_version in "3.12 3.13"
python_version not in "3.12, 3.13"
"3.10" <= python_version
"3.13" > python_version
python_full_version < "3.13"
python_full_version < '3.13.5'
python_full_version >= "3.13.5" or os_name == "nt"
python_full_version == "3.13.*"
python_version ~= "3.11"
python_version != "3.13"
sys_platform == "win32"
sys_platform != "win32"
sys_platform in "linux darwin"
"linux" in sys_platform
sys_platform not in "win32 cygwin"
platform_system == "Linux" and platform_machine != "aarch64"
platform_machine in "x86_64 amd64 AMD64"
platform_python_implementation != "PyPy" and (python_version < "3.8" or implementation_name == "cpython")
(os_name == "nt" or sys_platform == "linux") and python_version > "3"
os_name == "nt" or sys_platform == "linux" and python_version < "3"
implementation_version >= "3.13.5"
extra == "ldap"
extra == "LDAP"
extra != "ldap" and python_version > "3"
extra == "saml" or extra == "ldap_x"
platform_version == ""
python_version >= "3.10"
python_version < "3.2"
'cpython' == implementation_name""".splitlines()
evaluate = []
for m in markers:
    for extra in ["", "ldap", "ldap-x"]:
        evaluate.append([m, extra, Marker(m).evaluate({**env, "extra": extra})])
names = ["Django", "zope.interface", "ruamel.yaml.clib", "typing_extensions", "A--b__c..d", "x"]
json.dump({"order": order, "compare": compare, "contains": contains, "parse": parse, "parseSpecifier": parsespec, "markers": evaluate,
           "names": [[n, canonicalize_name(n)] for n in names]}, __import__("sys").stdout, indent=None, separators=(",", ":"))
print()
