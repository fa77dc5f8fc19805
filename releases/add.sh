#!/usr/bin/env bash
# Pins one Istio version: releases/add.sh 1.28.4 v0.0.0-20260301000000-0123456789ab
#
# `make add-release` calls it. Writes releases/VERSION.mod and .sum (the charts, and the modules that the schema program needs, at the versions that this
# Istio was built with), the bundle and the schema. If the checksum database does not know istio.io/istio at MODULE, put its two h1 lines, computed from
# the upstream tag, into releases/VERSION.sum first; a .sum that exists is kept.
set -euo pipefail
version=$1 module=$2
cd "$(dirname "$0")"
mod=$version.mod
cat >"$mod" <<EOF
module github.com/lateen-io/lateen/releases

go 1.26.0

require istio.io/istio $module
EOF
trap '[[ $? == 0 ]] || rm -f "$mod"' EXIT # a .sum that was there stays: it may have lines that only the user knows
download=$(go mod download -modfile="$mod" -json istio.io/istio) || {
  sed -n 's/^\t"Error": "\(.*\)"$/istio.io\/istio: \1/p' <<<"$download" >&2
  exit 1
}
dir=$(sed -n 's/^\t"Dir": "\(.*\)",$/\1/p' <<<"$download")
for dependency in istio.io/api k8s.io/api k8s.io/apimachinery google.golang.org/protobuf sigs.k8s.io/yaml; do
  wanted=$(awk -v m="$dependency" '$1 == m { print $2 }' "$dir/go.mod")
  go mod edit -require="$dependency@$wanted" "$mod"
  # Istio's own go.sum vouches for what the checksum database does not know (istio.io/api v1.26.0-beta.0).
  [[ $dependency != istio.io/api ]] || grep "^$dependency $wanted[ /]" "$dir/go.sum" >>"$version.sum"
done
go build -mod=mod -modfile="$mod" -o /dev/null ./schema

go run -modfile="$mod" ./charts -version "$version" -out "../internal/release/bundles/v$version"
go run -modfile="$mod" ./schema -docs ../config/crd/gen/descriptions.json "../internal/release/schemas/v$version.json"
