[ "$CORES" = 0 ] || export GOMAXPROCS=$CORES
