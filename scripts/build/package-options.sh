# package-options.sh: reads the arguments of archive.sh and deb.sh, which source it: [--bundle FOLDER] [--out FOLDER] [--fast] [ARCH...].
# Sets bundle, out and fast (empty: no); the architectures are left, by default both.

bundle=build/bundle out=build/release fast=
while [ $# -gt 0 ]; do
  case $1 in
    --bundle) bundle=$2; shift 2 ;;
    --out) out=$2; shift 2 ;;
    --fast) fast=yes; shift ;;
    *) break ;;
  esac
done
[ $# -gt 0 ] || set -- amd64 arm64
