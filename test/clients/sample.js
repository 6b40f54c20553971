// The help page's sample in the words of the Node.js SDK, with Signature V4.
const OSS = require('ali-oss');

const client = new OSS({
  region: 'oss-cn-hangzhou',
  authorizationV4: true,
  accessKeyId: process.env.OSS_ACCESS_KEY_ID,
  accessKeySecret: process.env.OSS_ACCESS_KEY_SECRET,
  bucket: 'examplebucket',
  // With an IP address the SDK still sends the region's name as Host.
  endpoint: process.env.OSS_ENDPOINT,
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
