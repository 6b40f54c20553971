// Print one object's labels as ali-oss gets them: labels.js BUCKET KEY PROCESS
const OSS = require('ali-oss');

const [bucket, key, process_] = process.argv.slice(2);
const client = new OSS({
  region: 'oss-cn-hangzhou',
  authorizationV4: true,
  accessKeyId: process.env.OSS_ACCESS_KEY_ID,
  accessKeySecret: process.env.OSS_ACCESS_KEY_SECRET,
  bucket,
  endpoint: process.env.OSS_ENDPOINT,
});

client.get(key, { process: process_ }).then(
  (result) => process.stdout.write(result.content),
  (e) => {
    console.error(e);
    process.exitCode = 1;
  },
);
