/** Size of a header and of a unit of content in an archive of tar (POSIX.1-1988, ustar). */
const BLOCK = 512;

export interface TarFile {
  readonly name: string;
  readonly content: string;
}

/** Makes an archive of files that only root may read. @param seconds time of the files, in seconds of Unix */
export function tarArchive(files: readonly TarFile[], seconds: number): Buffer {
  const parts = files.flatMap(({ name, content }) => {
    const data = Buffer.from(content);
    return [header(name, data.length, seconds), data, Buffer.alloc(-data.length & (BLOCK - 1))];
  });
  return Buffer.concat([...parts, Buffer.alloc(2 * BLOCK)]);
}

function header(name: string, size: number, seconds: number): Buffer {
  const block = Buffer.alloc(BLOCK);
  const octal = (value: number, digits: number) => `${value.toString(8).padStart(digits, "0")}\0`;
  block.write(name, 0, 100);
  block.write(octal(0o600, 7), 100);
  // Owner and group: root.
  block.write(octal(0, 7), 108);
  block.write(octal(0, 7), 116);
  block.write(octal(size, 11), 124);
  block.write(octal(seconds, 11), 136);
  // The checksum counts itself as spaces; then the type: a file.
  block.write("        0", 148);
  block.write("ustar\x0000", 257);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${octal(sum, 6)} `, 148);
  return block;
}
