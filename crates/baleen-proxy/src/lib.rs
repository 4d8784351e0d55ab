//! Listeners, pools and the request path; drives policy in real time
