/** The platforms of the bundle: values of `process.arch` on Linux with glibc. */
export const ARCHITECTURES = ["x64", "arm64"];
