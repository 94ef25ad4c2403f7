// zstd for kafkajs, by node:zlib. kafkajs keeps its codecs in one table of the module; codecs that the table lacks (snappy, lz4) make a
// consumer fail by name, which group-consumer.ts reports.
import { promisify } from 'node:util';
import { constants, zstdCompress, zstdDecompress } from 'node:zlib';
import kafkajs from 'kafkajs';

const compress = promisify(zstdCompress);
const decompress = promisify(zstdDecompress);

/** The fastest level that still halves JSON; higher ones cost more than the network they save. */
const OPTIONS = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };

/** Makes zstd known to kafkajs; calling it again changes nothing. */
export function plugInZstd(): void {
  const { CompressionCodecs, CompressionTypes } = kafkajs;
  CompressionCodecs[CompressionTypes.ZSTD] = () => ({
    compress: (encoder: { readonly buffer: Buffer }) => compress(encoder.buffer, OPTIONS),
    decompress: (bytes: Buffer) => decompress(bytes),
  });
}
