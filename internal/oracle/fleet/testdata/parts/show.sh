#!/bin/bash
# Shows what the parts are.
cat /app/sums
