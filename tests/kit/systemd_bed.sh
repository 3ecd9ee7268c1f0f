#!/bin/bash
# Becomes a real systemd over a throw-away copy of this machine's files. tests/kit/systemd.py runs it as
#   unshare --mount bash systemd_bed.sh DIRECTORY CGROUP [FROM:TO]...
# as root. It joins a cgroup of its own, then unshares everything else and runs itself again as process 1. Each directory
# FROM appears at TO, wherever it is, so that services of other users can reach it. Nothing outlives the namespaces but
# the cgroup, which whoever started it removes.
set -eu
directory=$1 cgroup=$2
shift 2

if [ $$ != 1 ]; then
    # Its own cgroup first: it becomes the root of the new cgroup namespace.
    mkdir -p "$directory/cgroup" "$directory/bed"
    mount -t cgroup2 cgroup2 "$directory/cgroup"
    mkdir "$directory/cgroup/$cgroup"
    echo $$ >"$directory/cgroup/$cgroup/cgroup.procs"
    exec unshare --mount --pid --fork --cgroup --uts --ipc --net --propagation private --kill-child=KILL \
        bash "$0" "$directory" "$cgroup" "$@"
fi

bed=$directory/bed root=$directory/bed/root units=/usr/lib/systemd/system
mount -t tmpfs -o mode=755 bed "$bed"
mkdir "$bed/upper" "$bed/work" "$bed/units" "$root"
mount -t overlay -o "lowerdir=/,upperdir=$bed/upper,workdir=$bed/work" bed "$root"

mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
for path in sys sysrq-trigger; do # the kernel is everybody's
    [ -e "$root/proc/$path" ] || continue
    mount --bind "$root/proc/$path" "$root/proc/$path"
    mount -o remount,bind,ro "$root/proc/$path"
done
mount -t tmpfs -o mode=755 dev "$root/dev"
mkdir "$root/dev/pts" "$root/dev/shm"
for device in null zero full random urandom tty; do
    : >"$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
for link in fd:fd stdin:fd/0 stdout:fd/1 stderr:fd/2; do
    ln -s "/proc/self/${link#*:}" "$root/dev/${link%:*}"
done

# Of the machine's units only those that every boot needs; nothing of what is enabled here may start.
for name in basic sysinit sockets timers paths slices local-fs local-fs-pre multi-user network shutdown umount final exit; do
    cp "$units/$name.target" "$bed/units/"
done
cp "$units"/systemd-journald{.service,.socket,-dev-log.socket} "$units/systemd-exit.service" "$bed/units/"
for path in "$units" /etc/systemd/system /run /tmp /var/tmp /var/log; do
    mkdir -p "$root$path"
    mount -t tmpfs -o "mode=$(stat -c %a "$root$path")" bed "$root$path"
done
rm -rf "$root"/{usr/lib,etc}/systemd/system-generators
cp "$bed/units"/* "$root$units/"
mkdir -p "$root/run/systemd/system" "$root"/etc/systemd/{journald,system}.conf.d
printf '[Unit]\nRequires=basic.target systemd-journald.service\nAfter=basic.target systemd-journald.service\n' \
    >"$root$units/default.target"
printf '[Journal]\nStorage=volatile\nAudit=\nReadKMsg=no\nRateLimitIntervalSec=0\n' \
    >"$root/etc/systemd/journald.conf.d/bed.conf"
printf '[Manager]\nShowStatus=no\n' >"$root/etc/systemd/system.conf.d/bed.conf"

for pair in "$@"; do
    mkdir -p "$root${pair#*:}"
    mount --rbind "${pair%%:*}" "$root${pair#*:}"
done
hostname bed
cd "$root"
mkdir -p mnt
pivot_root . mnt
umount -l mnt
mount --make-rshared /
exec env -i container=bed PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
    /lib/systemd/systemd --system --log-target=journal </dev/null >/dev/null 2>&1
