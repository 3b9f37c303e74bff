export PATH=/opt/go/bin:$PATH
[ "$CORES" = 0 ] || export GOMAXPROCS=$CORES
