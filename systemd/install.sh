#!/bin/sh
# Installs hourhand from this checkout as a service, or upgrades an installed one. Run it as root. Running it again changes
# no settings, no ledger and no registry.
#
#   systemd/install.sh               the daemon
#   systemd/install.sh --training    the daemon, and the weekly retraining (needs 2 GB more)
#   systemd/install.sh --page        the daemon, and its page and API on http://127.0.0.1:8420/
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
home=/opt/hourhand
state=/var/lib/hourhand
config=/etc/hourhand/bot.toml
training=
page=
for option in "$@"; do
    case "$option" in
        --training) training=training ;;
        --page) page=page ;;
        *) echo "usage: $0 [--training] [--page]" >&2; exit 2 ;;
    esac
done
[ "$(id -u)" = 0 ] || { echo "$0: run it as root" >&2; exit 1; }
python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    { echo "$0: needs Python 3.11 or newer with venv: apt install python3-venv" >&2; exit 1; }

echo "the program: $home"
[ -x $home/bin/python ] || python3 -m venv $home
pip="$home/bin/python -m pip install --quiet --disable-pip-version-check"
$pip --require-hashes --no-deps --requirement "$here/requirements-${training:-daemon}.lock"
if [ $training ]; then
    # PyTorch's own index has builds without CUDA, which are gigabytes smaller.
    index=${TORCH_INDEX-https://download.pytorch.org/whl/cpu}
    # shellcheck disable=SC2086
    $pip ${index:+--extra-index-url $index} --requirement "$here/requirements-torch.txt"
fi
$pip --no-deps --no-build-isolation --force-reinstall "$here"
install -D -m 0644 "$here/docs/service.md" $home/share/doc/hourhand/service.md
install -D -m 0644 "$here/docs/page.md" $home/share/doc/hourhand/page.md
ln -sf $home/bin/hourhand $home/bin/hourhand-train /usr/local/bin/

echo "the user: hourhand"
install -D -m 0644 "$here/systemd/hourhand.sysusers" /usr/lib/sysusers.d/hourhand.conf
systemd-sysusers hourhand.conf
install -d -m 0750 -o hourhand -g hourhand $state

if [ -f $config ]; then
    echo "the settings: $config, left as they are"
else
    echo "the settings: $config"
    install -d -m 0755 /etc/hourhand
    sed -e "s|\"sqlite:///var/|\"sqlite:///$state/|" -e "s|\"models/current\"|\"$state/models/current\"|" \
        -e "s|\"var/refresh\"|\"$state/refresh\"|" "$here/config/bot.toml" > $config
fi
if [ ! -f /etc/hourhand/environment ]; then
    install -m 0640 -g hourhand /dev/null /etc/hourhand/environment
fi

if [ -e $state/models/current ]; then
    echo "the model: $state/models/current, left as it is"
else
    echo "the model: $state/models"
    install -d -m 0750 -o hourhand -g hourhand $state/models
    cp -R "$here/bot/model/shipped/." $state/models/
    chown -R hourhand:hourhand $state/models
fi

echo "the units: /etc/systemd/system"
for unit in hourhand.service hourhand-failure@.service ${training:+hourhand-refresh.service hourhand-refresh.timer} \
    ${page:+hourhand-serve.service}; do
    install -m 0644 "$here/systemd/$unit" /etc/systemd/system/
done
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
fi
echo "done; start it with: systemctl enable --now hourhand${training:+ hourhand-refresh.timer}${page:+ hourhand-serve}"
