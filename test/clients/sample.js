// The help page's sample in the words of the Node.js SDK, with Signature V4.
const OSS = require('ali-oss');

const client = new OSS({
  region: 'oss-cn-hangzhou',
  authorizationV4: true,
  accessKeyId: process.env.OSS_ACCESS_KEY_ID,
  accessKeySecret: process.env.OSS_ACCESS_KEY_SECRET,
  bucket: 'examplebucket',
  // An IP address has no subdomains: the bucket goes into the path.
  endpoint: process.env.OSS_ENDPOINT,
  sldEnable: true,
});

async function main() {
  try {
    const result = await client.get('example.jpg', { process: 'image/labels' });
    console.log('Image labels:');
    console.log(result.content.toString('utf8'));
  } catch (e) {
    console.log('Error:', e);
  }
}

main();
