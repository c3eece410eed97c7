#!/bin/busybox sh
# The first process of the guest that `cargo xtask guest` and its tests boot: binds the card, runs the program until it
# ends or a line comes from the console, and turns the machine off.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
mount -t hugetlbfs none /hugepages

# The kernel gives what it does not know of its command line to its first process: this is $bind. Each module comes
# after those that it needs.
for module in uio uio_pci_generic irqbypass vfio_virqfd vfio vfio_iommu_type1 vfio-pci-core vfio-pci; do
    insmod "/modules/$module.ko"
done
for device in /sys/bus/pci/devices/*; do
    if [ "$(cat "$device/class")" = 0x020000 ]; then
        name=$(basename "$device")
        echo "$bind" >"$device/driver_override"
        echo "$name" >/sys/bus/pci/drivers_probe
        [ -e "$device/driver" ] && echo "guest: $name is bound to $bind" || echo "guest: $name cannot be bound to $bind"
    fi
done

# A program in the background would ignore the signal.
{
    read -r _
    kill -INT "$(cat /run/pid)"
} </dev/console &
program </dev/null
echo "guest: the program ended with status $?"
poweroff -f
