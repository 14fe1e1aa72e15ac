#!/bin/sh
echo "built by jackal"
