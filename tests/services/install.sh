#!/usr/bin/env bash
# Installs the real services that tests start: GStreamer's RTSP server and Java with Debian's apt,
# Kafka, the Apicurio registry and Iceberg's REST catalog from Maven Central into a cache folder. Done
# twice it does nothing.
set -euo pipefail
cd "$(dirname "$0")"

cache=${OVERSHOOT_FLOW_SERVICES:-${XDG_CACHE_HOME:-$HOME/.cache}/overshoot-flow/services}
kafka=4.1.0
apicurio=3.0.9
iceberg=1.10.0
packages=(
  gir1.2-gst-rtsp-server-1.0 python3-gi glib-networking
  gstreamer1.0-plugins-base gstreamer1.0-plugins-good
  gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly
)
command -v java >/dev/null || packages+=(openjdk-17-jre-headless)
command -v mvn >/dev/null || packages+=(maven)

missing=()
for package in "${packages[@]}"; do
  dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed ||
    missing+=("$package")
done
if ((${#missing[@]})); then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi

# Every service is put together beside its place and renamed: what is there is whole.
mkdir -p "$cache"
new=$(mktemp -d "$cache/new.XXXXXX")
trap 'rm -rf "$new"' EXIT
copy_dependencies() { # the folder with the pom, the service's folder
  [[ -d $cache/$2 ]] && return
  mvn --batch-mode --quiet --file "$1/pom.xml" dependency:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$new/$2"
  mv "$new/$2" "$cache/$2"
}
copy_dependencies kafka "kafka-$kafka"
copy_dependencies iceberg "iceberg-rest-$iceberg"
if [[ ! -d $cache/apicurio-$apicurio ]]; then
  mkdir "$new/apicurio"
  mvn --batch-mode --quiet --file kafka/pom.xml dependency:copy \
    -Dartifact="io.apicurio:apicurio-registry-app:$apicurio:tar.gz:all" -DoutputDirectory="$new"
  tar --extract --gzip --file "$new/apicurio-registry-app-$apicurio-all.tar.gz" \
    --directory "$new/apicurio"
  mv "$new/apicurio" "$cache/apicurio-$apicurio"
fi
echo "services are in $cache"
