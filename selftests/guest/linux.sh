#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# linux [TEST]: a Linux guest with four vCPUs runs a load (linux/load.c) and accounts for every
# interrupt: what the guest handled must be what the module accepted, for each vCPU and each way.
# TEST is a pattern; `x2apic` alone runs unless one is given, for each test boots a kernel. --list.
#
# In the lab; /linux has the guest's kernel and initrd (linux/prepare). TAP.

node=${APV_DEV:-/dev/apicvisor}
cpus=4
limit=${APV_TIMEOUT:-200} # of a guest; seconds of emulated time, of which it takes 15
debugfs=/sys/kernel/debug/apicvisor
tests="x2apic xapic xapic_timer"
work=$(mktemp -d /tmp/apv-linux.XXXXXX) || exit 1
trap 'rm -rf "$work"' EXIT

if [ "${1:-}" = --list ]; then
	echo "$tests" | tr ' ' '\n'
	exit 0
fi

# The words that make the guest use its LAPICs that way.
words()
{
	case $1 in
	x2apic) ;;
	xapic) echo nox2apic ;;
	xapic_timer) echo nox2apic lapic=notscdeadline ;;
	esac
}

# What the module has accepted so far, as "TIME VCPU NAME VALUE". In-tree KVM doesn't tell.
accepted()
{
	[ "$node" = /dev/apicvisor ] || return 0
	for vcpu in "$debugfs/$(cat "$work/pid")"-*/vcpu*; do
		sed -n "s/^irq[._]/$1 ${vcpu##*vcpu} /p" "$vcpu/stats"
	done
}

# Boots the guest with @words and answers its questions; leaves its output in $work/guest and the
# counts in $work/counts. Its exit status is the VMM's.
run_guest()
{
	rm -f "$work/to" "$work/from"
	mkfifo "$work/to" "$work/from"
	: >"$work/counts"
	: >"$work/guest"
	# shellcheck disable=SC2016 # the inner shell's
	timeout "$limit" sh -c 'echo $$ >"$0"; exec apicvisor-vmm "$@"' "$work/pid" --dev "$node" --cpus $cpus --mem 192 --kernel /linux/vmlinuz \
		--initrd /linux/initrd.img --disk "$work/disk" --cmdline "console=ttyS0 quiet nokaslr \
		mitigations=off tsc=reliable cryptomgr.notests demo=load $*" \
		<"$work/to" >"$work/from" 2>"$work/vmm" &
	waiter=$!
	exec 3>"$work/to" 4<"$work/from"
	while IFS= read -r line <&4; do
		line=$(printf '%s' "$line" | tr -d '\r')
		echo "$line" >>"$work/guest"
		case $line in
		"load: ready")
			accepted before >>"$work/counts"
			echo >&3
			;;
		"load: counted")
			accepted after >>"$work/counts"
			echo >&3
			;;
		esac
	done
	exec 3>&- 4<&-
	wait $waiter
}

one()
{
	# shellcheck disable=SC2046 # words
	run_guest $(words "$1")
	status=$?
	if [ $status -ne 0 ]; then
		echo "# the VMM ended with status $status"
		return 1
	fi
	grep -q '^load: passed' "$work/guest" || return 1
	[ "$node" != /dev/apicvisor ] || /linux/compare "$work/guest" "$work/counts" $cpus
}

dd if=/dev/urandom of="$work/disk" bs=64k count=4 2>/dev/null
wanted=${1:-x2apic}
number=0 failed=0
plan=0
for test in $tests; do
	# shellcheck disable=SC2254 # a pattern
	case $test in
	$wanted) plan=$((plan + 1)) ;;
	esac
done
echo "1..$plan"
for test in $tests; do
	# shellcheck disable=SC2254
	case $test in
	$wanted) ;;
	*) continue ;;
	esac
	number=$((number + 1))
	if one "$test"; then
		echo "ok $number - $test"
	else
		failed=$((failed + 1))
		sed 's/^/# /' "$work/guest" "$work/vmm"
		echo "not ok $number - $test"
	fi
done
[ $failed -eq 0 ]
