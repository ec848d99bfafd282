// Pictures that are given to the page: chosen, dropped anywhere on it, or pasted.

const READ = ["image/png", "image/jpeg", "image/webp", "image/bmp"];

// onPicture({ blob, name }) is told of a picture, onRefusal(error) of a file that the service does not read.
export function acceptFiles(input, zone, onPicture, onRefusal) {
  const take = (files) => {
    const [file] = files;
    if (!file) return;
    if (READ.includes(file.type)) onPicture({ blob: file, name: file.name || "pasted.png" });
    else onRefusal(new Error(`“${file.name}” is not a picture that is read here: PNG, JPEG, WebP and BMP are.`));
  };
  input.addEventListener("change", () => {
    take(input.files);
    input.value = ""; // so that the same file can be chosen again
  });
  addEventListener("dragover", (event) => {
    event.preventDefault(); // or the browser would leave the page for the file
    zone.classList.add("awaits");
  });
  addEventListener("dragleave", (event) => event.relatedTarget || zone.classList.remove("awaits"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("awaits");
    take(event.dataTransfer.files);
  });
  addEventListener("paste", (event) => take(event.clipboardData.files));
}
