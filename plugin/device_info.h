/* What a device plugin of the kubelet says of a device (PCI address and so on), handed on to the network's plugins and
 * from them to the pod's network-status: files of fixed names, as multus and its peers use them. */
#pragma once

#include "plugin/attachment.h"

/** Where an attachment's plugins find and leave it (capability CNIDeviceInfoFile). NULL: it has no device. Owned by the
 * caller. */
char *device_info_path(const struct attachment *a, const struct request *request, const struct config *config);

/** Copies what the device plugin says to that file, before ADD. Whatever fails is logged: few have such files. */
void device_info_copy(const struct attachment *a, const struct run *run);

/** What is said of the attachment's device by now, as it stands in the file. NULL: nothing. Owned by the caller. */
cJSON *device_info_read(const struct attachment *a, const struct run *run);

/** Removes the file, after DEL. */
void device_info_remove(const struct attachment *a, const struct run *run);
