# Leaves of the target folder what does not depend on when it was made, and is of use to others.
rm -f "$CARGO_TARGET_DIR"/.rustc_info.json "$CARGO_TARGET_DIR"/CACHEDIR.TAG
find "$CARGO_TARGET_DIR" -name ".cargo*lock" -delete
