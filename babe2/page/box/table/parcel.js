// A file that was asked for is saved as soon as it is there.
"use strict";
watch("value", () => {
  const parcel = props.value;
  if (!parcel?.file?.url) return;
  const link = Object.assign(document.createElement("a"), { href: parcel.file.url, download: parcel.name });
  document.body.append(link);
  link.click();
  link.remove();
});
