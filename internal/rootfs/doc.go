// Package rootfs turns Debian packages into roots: file trees to build in and to run in.
//
// It has two halves. A Resolver chooses the packages of a root from the signed indices of Debian suites, and Pin unpacks
// them once to learn the hash of the tree they make; both belong to "headwater lock" and reach archives through an Archive
// alone. Node makes that root a node of the build graph, whose content is unpacked in Go from the fetched packages. No
// program is run for that, no maintainer script least of all, and the same packages always make the same bytes.
//
// # What is in a root
//
// The files of the packages, with /bin, /sbin and /lib* merged into /usr; what Debian's maintainer scripts would have added
// (alternatives such as cc and java, /etc/passwd with the build user, the certificates' bundle, links and Java keystore, the
// loader's cache, /etc/hosts and the like); and bash and bubblewrap, by which it is entered. Left out are documentation but
// for copyright notices, manual pages, translations, and packages that only serve to install others. Modes are 0444, 0555 and
// 0755; there are no devices, no setuid programs and no links that lead out of the tree.
//
// What is in a root is part of what locks pin: a change to package tree that gives the same packages other bytes makes every
// lock that was made before stale. TestRealRoot says so.
//
// Not made are caches and registers that few programs need and none needs to build or serve: XML catalogs, icon and MIME
// caches, byte-compiled Python, /etc/localtime (so the zone is UTC), dpkg's own database.
//
// # How an artifact of Debian is named
//
// A package in a lock is
//
//	Ecosystem  debian
//	Name       the binary package: "libpq-dev"
//	Version    its Debian version: "17.12-0+deb13u1"
//	File       "debian/pool/main/p/postgresql-17/libpq-dev_17.12-0+deb13u1_amd64.deb"
//	Role       the suite it was chosen from: "trixie" (a lock.Artifact's field, for people)
//
// The address of an artifact depends on its File alone: the first element names the archive, "debian" or, for suites that
// end in "-security", "debian-security"; the rest is the path below that archive's own base. A mirror that keeps both
// archives side by side serves File as it stands; otherwise each archive has a base of its own.
//
// What a Resolver asks an Archive for while locking is named alike, with the suite as Name and no Version:
//
//	debian/dists/trixie/InRelease                                    no Hash: what is served is taken, then its signature is checked
//	debian/dists/trixie/main/binary-amd64/by-hash/SHA256/<64 digits>  Hash and Size as InRelease has them
//	debian/dists/trixie/main/binary-amd64/Packages.xz                 the same, where there is nothing at by-hash
//
// and, after a failed build, main/Contents-amd64.gz and main/Contents-all.gz in the same two ways, to tell which package has a file.
package rootfs
